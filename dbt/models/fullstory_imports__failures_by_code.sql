{%- set kinds = {} -%}
{%- for kind, stream, row in [('events', 'import_errors', 'event'), ('users', 'user_import_errors', 'user')]
    if dbt_fullstory_imports.is_loaded(stream) -%}
    {%- do kinds.update({kind: [stream, row]}) -%}
{%- endfor -%}
{{ config(enabled=kinds | length > 0) }}

with failures as (

    {% for kind, (stream, row) in kinds.items() %}
    select
        '{{ kind }}' as kind,
        code,
        message,
        job_id,
        error_index,
        {{ dbt_fullstory_imports.quoted(row) }} as example
    from {{ ref('stg_fullstory_imports__' ~ stream) }}
    {% if not loop.last %}
    union all
    {% endif %}
    {%- endfor %}

),

numbered as (

    select
        failures.*,
        count(*) over (partition by kind, code) as failures,
        row_number() over (partition by kind, code order by job_id, error_index) as place
    from failures

)

select
    kind,
    code,
    failures,
    message as example_message,
    job_id as example_job_id,
    error_index as example_error_index,
    example
from numbered
where place = 1
