{#- Fullstory updates a user with each import, so each field has its newest value. -#}
{{ config(enabled=is_loaded('imported_users'), materialized='table') }}

with imported as (

    select * from {{ ref('stg_fullstory_imports__imported_users') }}

),

jobs as (
    {% if is_loaded('user_import_jobs') %}
    select job_id, created_at from {{ ref('stg_fullstory_imports__user_import_jobs') }}
    {%- else %}
    select distinct job_id, cast(null as {{ sql_type('date') }}) as created_at from imported
    {%- endif %}

),

uids as (

    select id, max(uid) as uid
    from imported
    where id is not null and uid is not null
    group by id

),

users as (

    select
        imported.*,
        jobs.created_at,
        coalesce(
            'uid ' || coalesce(imported.uid, uids.uid),
            'id ' || imported.id,
            'row ' || imported.job_id || ' ' || imported.user_index
        ) as user_key,
        row_number() over (
            order by coalesce(jobs.created_at, cast('1970-01-01' as {{ sql_type('date') }})), imported.job_id, imported.user_index
        ) as place
    from imported
    left join jobs on jobs.job_id = imported.job_id
    left join uids on uids.id = imported.id

),

fields as (

    select
        users.user_key,
        field.key,
        field.value,
        row_number() over (partition by users.user_key, field.key order by users.place desc) as age
    from users
    {{ json_fields('users.properties') }}

),

properties as (

    select
        user_key,
        {{ 'object_agg' if target.type == 'snowflake' else 'jsonb_object_agg' }}(key, value) as properties
    from fields
    where age = 1
    group by user_key

),

newest as (

    select
        user_key,
        {{ newest('id', 'place') }} as id,
        {{ newest('uid', 'place') }} as uid,
        {{ newest('display_name', 'place') }} as display_name,
        {{ newest('email', 'place') }} as email,
        {{ newest('job_id', 'place') }} as job_id,
        {{ newest(quoted('schema'), 'place') }} as {{ quoted('schema') }},
        max(created_at) as imported_at,
        count(*) as imports
    from users
    group by user_key

)

select newest.*, properties.properties
from newest
left join properties on properties.user_key = newest.user_key
