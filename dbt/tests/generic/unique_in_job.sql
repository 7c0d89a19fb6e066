{#- A number is given once in each job. -#}
{% test unique_in_job(model, column_name) %}

with loaded as (

    select * from {{ model }}

)

select job_id, {{ column_name }}, count(*) as times
from loaded
group by job_id, {{ column_name }}
having count(*) > 1 or job_id is null or {{ column_name }} is null

{% endtest %}
