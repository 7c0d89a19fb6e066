{#- The streams of each kind of job whose jobs are loaded. -#}
{%- macro job_kinds() -%}
    {%- set kinds = {} -%}
    {%- for kind, jobs, imported, failed in [
        ('events', 'import_jobs', 'imported_events', 'import_errors'),
        ('users', 'user_import_jobs', 'imported_users', 'user_import_errors'),
    ] if dbt_fullstory_imports.is_loaded(jobs) -%}
        {%- do kinds.update({kind: {'jobs': jobs, 'imported': imported, 'failed': failed}}) -%}
    {%- endfor -%}
    {{ return(kinds) }}
{%- endmacro -%}

{#- How many rows of a stream are loaded for each job. -#}
{%- macro rows_by_job(stream) -%}
    {%- if dbt_fullstory_imports.is_loaded(stream) -%}
    (
        select job_id, count(*) as loaded
        from {{ ref('stg_fullstory_imports__' ~ stream) }}
        group by job_id
    )
    {%- else -%}
    (select cast(null as {{ dbt_fullstory_imports.sql_type('str') }}) as job_id, 0 as loaded)
    {%- endif -%}
{%- endmacro -%}

{#- A number of loaded rows; null if the stream is not loaded. -#}
{%- macro or_zero(stream, loaded) -%}
    {%- if dbt_fullstory_imports.is_loaded(stream) -%}
        coalesce({{ loaded }}, 0)
    {%- else -%}
        cast(null as bigint)
    {%- endif -%}
{%- endmacro -%}

{#- How many of the reported rows are not loaded; null if that is unknown. -#}
{%- macro shortfall(reported, stream, loaded) -%}
    {%- set loaded = dbt_fullstory_imports.or_zero(stream, loaded) -%}
    case
        when {{ reported }} > {{ loaded }} then {{ reported }} - {{ loaded }}
        when {{ reported }} <= {{ loaded }} then 0
    end
{%- endmacro -%}
